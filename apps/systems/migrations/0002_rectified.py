from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("systems", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="delivery",
            name="event",
            field=models.CharField(
                choices=[
                    ("visitor.arrived", "visitor arrived"),
                    ("visit.retracted", "the arrival was someone else's"),
                    ("person.restricted", "recognition paused"),
                    ("person.resumed", "recognition resumed"),
                    ("person.rectified", "name corrected"),
                    ("consent.withdrawn", "consent withdrawn"),
                    ("person.erased", "erased"),
                ],
                max_length=20,
            ),
        ),
    ]
