"""The languages that a store's kiosk offers, and who else gets any data."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import apps.stores.models


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0006_door"),
    ]

    operations = [
        migrations.CreateModel(
            name="ThirdParty",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("processor", "works for us"),
                            ("joint", "answers for it together with us"),
                            ("recipient", "gets it for purposes of its own"),
                            ("authority", "an authority"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "purpose",
                    models.CharField(
                        help_text="What it gets and what for, in words for every language "
                        "of the notice.",
                        max_length=240,
                    ),
                ),
                ("country", models.CharField(max_length=80)),
                ("contact", models.CharField(max_length=240)),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From then on it gets nothing, and no notice names it.",
                        null=True,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "third parties",
                "ordering": ("name",),
            },
        ),
        migrations.AddField(
            model_name="store",
            name="languages",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    max_length=10, validators=[apps.stores.models.known_language]
                ),
                default=apps.stores.models.all_languages,
                help_text="What the kiosk offers. No notice is published that lacks one of them.",
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="store",
            constraint=models.CheckConstraint(
                condition=models.Q(("languages__len__gt", 0)), name="store_offers_a_language"
            ),
        ),
        migrations.AddField(
            model_name="thirdparty",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="third_parties",
                to="stores.organization",
            ),
        ),
    ]
