"""The second statement on a certificate, when no old backup opens any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retention", "0009_alarms")]
    operations = [
        migrations.AddField(
            model_name="erasure",
            name="supplement",
            field=models.TextField(blank=True, default=""),
        ),
    ]
