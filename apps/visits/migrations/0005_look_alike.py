"""How often a day a pass was offered to somebody whom the lane could mix up."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0006_door"), ("visits", "0004_unmatched")]
    operations = [
        migrations.CreateModel(
            name="LookAlike",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("count", models.PositiveIntegerField(default=0)),
                ("latest_at", models.DateTimeField()),
                (
                    "store",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="look_alikes",
                        to="stores.store",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="lookalike",
            constraint=models.UniqueConstraint(
                fields=("store", "day"), name="one_look_alike_count_a_day"
            ),
        ),
    ]
