"""A recognizer says which generations of the keyring it has forgotten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recognition", "0003_packs")]
    operations = [
        migrations.AddField(
            model_name="recognizer",
            name="oldest",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
