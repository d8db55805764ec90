"""When a watcher last reported on a camera; how long nobody is announced twice."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0001_initial")]

    operations = [
        migrations.AddField(
            "camera",
            "reported_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            "store",
            "cool_down_minutes",
            models.PositiveIntegerField(
                "cool-down, minutes",
                default=0,
                help_text="For how many minutes after an arrival the same person is not announced "
                "again, however often they go out and come in. 0: the absence alone decides.",
                validators=[MaxValueValidator(1440)],
            ),
        ),
        migrations.AlterField(
            "store",
            "absence_minutes",
            models.PositiveIntegerField(
                "absence, minutes",
                default=30,
                help_text="After how many minutes out of sight a return is a new visit.",
                validators=[MinValueValidator(1), MaxValueValidator(1440)],
            ),
        ),
    ]
