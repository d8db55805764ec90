"""A third lawful mode: a camera that reads passes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0002_camera_health_and_cool_down")]
    operations = [
        migrations.RemoveConstraint(model_name="camera", name="camera_mode_is_lawful"),
        migrations.AlterField(
            model_name="camera",
            name="mode",
            field=models.CharField(
                choices=[
                    ("count", "Count people, recognise nobody"),
                    ("pass", "Recognise who shows their own pass"),
                    ("lane", "Recognise opted-in visitors in a marked lane"),
                ],
                default="count",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="camera",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ["count", "pass", "lane"])),
                name="camera_mode_is_lawful",
            ),
        ),
    ]
