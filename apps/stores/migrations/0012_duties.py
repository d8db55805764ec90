"""Assessments as documents; registers of breaches and of signs; contracts with third parties."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import apps.stores.models


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0011_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Breach",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "what",
                    models.TextField(help_text="Name nobody here.", verbose_name="what happened"),
                ),
                (
                    "happened_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="since when"),
                ),
                ("discovered_at", models.DateTimeField(verbose_name="when we learned of it")),
                (
                    "stores",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), blank=True, default=list, size=None
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("template", "sealed face templates"),
                                ("name", "names and contacts"),
                                ("note", "notes by staff"),
                                ("visit", "dates of visits"),
                                ("proof", "signed consents"),
                            ],
                            max_length=10,
                        ),
                        size=None,
                    ),
                ),
                (
                    "span",
                    models.CharField(
                        choices=[
                            ("signed", "people who signed within these days"),
                            ("visited", "people who came within these days"),
                        ],
                        default="signed",
                        max_length=10,
                    ),
                ),
                ("span_from", models.DateField(blank=True, null=True)),
                ("span_until", models.DateField(blank=True, null=True)),
                (
                    "consequences",
                    models.TextField(blank=True, verbose_name="what it can do to people"),
                ),
                ("measures", models.TextField(blank=True, verbose_name="what was done about it")),
                (
                    "words",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="In plain words. Where one is missing, what stands above holds.",
                        validators=[apps.stores.models.known_languages],
                        verbose_name="what to tell people",
                    ),
                ),
                ("tell_authority", models.BooleanField(null=True)),
                ("authority_why", models.TextField(blank=True)),
                ("authority_told_at", models.DateTimeField(blank=True, null=True)),
                ("tell_people", models.BooleanField(null=True)),
                ("people_why", models.TextField(blank=True)),
                ("people_told_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-discovered_at",),
            },
        ),
        migrations.CreateModel(
            name="Sign",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("count", "Count people, recognise nobody"),
                            ("pass", "Recognise who shows their own pass"),
                            ("lane", "Recognise opted-in visitors in a marked lane"),
                        ],
                        max_length=10,
                    ),
                ),
                ("words", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                ("confirmed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("next_check_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("-confirmed_at",),
            },
        ),
        migrations.AddField(
            model_name="assessment",
            name="alternatives",
            field=models.TextField(blank=True, verbose_name="what milder means were considered"),
        ),
        migrations.AddField(
            model_name="assessment",
            name="consulted",
            field=models.TextField(blank=True, verbose_name="who was asked, and what they said"),
        ),
        migrations.AddField(
            model_name="assessment",
            name="digest",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="assessment",
            name="editors",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), default=list, editable=False, size=None
            ),
        ),
        migrations.AddField(
            model_name="assessment",
            name="facts",
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.AddField(
            model_name="assessment",
            name="mode",
            field=models.CharField(
                choices=[
                    ("count", "Count people, recognise nobody"),
                    ("pass", "Recognise who shows their own pass"),
                    ("lane", "Recognise opted-in visitors in a marked lane"),
                ],
                db_default="lane",
                default="lane",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="assessment",
            name="proportionality",
            field=models.TextField(blank=True, verbose_name="why it is in proportion"),
        ),
        migrations.AddField(
            model_name="assessment",
            name="risks",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="assessment",
            name="version",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="thirdparty",
            name="contract_at",
            field=models.DateField(
                blank=True,
                help_text="When the contract on this was signed (GDPR 28(3), PIPL 21).",
                null=True,
                verbose_name="contract of",
            ),
        ),
        migrations.AddField(
            model_name="thirdparty",
            name="transfer",
            field=models.CharField(
                blank=True,
                choices=[
                    ("none", "no: it stays under the same law"),
                    ("adequacy", "yes: that country is recognised as safe enough"),
                    ("clauses", "yes: under the standard contract"),
                    ("consent", "yes: each person agreed to that by itself"),
                ],
                help_text="On what ground the data may go there (GDPR 44 ff., PIPL 38).",
                max_length=12,
                verbose_name="leaves the country",
            ),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="necessity",
            field=models.TextField(verbose_name="why it is necessary"),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="signed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="signed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="assessment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("signed_at", None), ("signed_by", None)),
                    models.Q(("signed_at__isnull", False), ("signed_by__isnull", False)),
                    _connector="OR",
                ),
                name="assessment_is_signed_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="assessment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("version__gt", 0)),
                fields=("camera", "version"),
                name="one_assessment_a_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="assessment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("signed_at", None)),
                fields=("camera",),
                name="one_assessment_is_being_written",
            ),
        ),
        migrations.AddField(
            model_name="breach",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="breaches",
                to="stores.organization",
            ),
        ),
        migrations.AddField(
            model_name="sign",
            name="camera",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="signs",
                to="stores.camera",
            ),
        ),
        migrations.AddField(
            model_name="sign",
            name="confirmed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="breach",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("tell_authority", None),
                        models.Q(("authority_why", ""), _negated=True),
                        _connector="OR",
                    ),
                    models.Q(
                        ("tell_people", None),
                        models.Q(("people_why", ""), _negated=True),
                        _connector="OR",
                    ),
                ),
                name="a_decision_has_its_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="breach",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("closed_at", None),
                    models.Q(("tell_authority__isnull", False), ("tell_people__isnull", False)),
                    _connector="OR",
                ),
                name="a_breach_ends_decided",
            ),
        ),
    ]
