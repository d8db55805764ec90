"""For how many days a store keeps what, where that is less than its pack allows."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0013_assessment_guard"),
    ]

    operations = [
        migrations.CreateModel(
            name="Policy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("lane", "Face template for the lane, after the last visit"),
                            ("pass", "Face template for the pass, after the last visit"),
                            ("history", "A visit, for the person’s own history"),
                            ("statistics", "A visit, for the store’s statistics"),
                            ("consent", "The longest consent that can be signed"),
                        ],
                        max_length=10,
                    ),
                ),
                ("days", models.PositiveIntegerField()),
                ("former", models.PositiveIntegerField(null=True)),
                ("reason", models.CharField(max_length=200)),
                (
                    "store",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="policies",
                        to="stores.store",
                    ),
                ),
            ],
            options={
                "verbose_name": "retention policy",
                "verbose_name_plural": "retention policies",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("store", "kind"), name="one_policy_a_store_and_kind"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("days__gte", 1)), name="a_policy_keeps_a_day"
                    ),
                ],
            },
        ),
    ]
