"""A request may come from the kiosk tablet: a word more among the sources."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0010_supplement"),
    ]

    operations = [
        migrations.AlterField(
            model_name="request",
            name="source",
            field=models.CharField(
                choices=[
                    ("receipt", "receipt page"),
                    ("kiosk", "kiosk tablet"),
                    ("staff", "staff in the store"),
                    ("letter", "letter"),
                    ("mail", "e-mail"),
                    ("phone", "telephone"),
                ],
                max_length=10,
            ),
        ),
    ]
