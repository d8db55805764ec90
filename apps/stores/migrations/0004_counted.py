"""The hour up to which a camera's counters stand in the ledger."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0003_pass")]
    operations = [
        migrations.AddField(
            "camera",
            "counted_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
