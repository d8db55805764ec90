"""What a tablet reports of itself each minute: the version of its page, and its camera."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0007_languages_and_third_parties")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="camera_state",
            field=models.CharField(
                blank=True,
                choices=[
                    ("ok", "works"),
                    ("denied", "not allowed"),
                    ("dark", "gives black pictures"),
                    ("none", "none found"),
                ],
                editable=False,
                max_length=10,
                verbose_name="its camera",
            ),
        ),
        migrations.AddField(
            model_name="device",
            name="reported_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="version",
            field=models.CharField(blank=True, editable=False, max_length=20),
        ),
    ]
