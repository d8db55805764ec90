"""Footfall of a month so far, so that a page reads one row of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("visits", "0009_card"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rollup",
            name="span",
            field=models.CharField(
                choices=[("day", "Day"), ("footfall", "Footfall"), ("month", "Month")], max_length=8
            ),
        ),
    ]
