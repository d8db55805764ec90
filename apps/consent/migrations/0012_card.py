"""To be recognised by a card, without a face."""

import django.contrib.postgres.fields
from django.db import migrations, models

PURPOSES = [
    ("lane", "Recognise me when I come back"),
    ("pass", "Recognise me when I show my pass"),
    ("card", "Recognise me by a card, without my face"),
    ("history", "Remember my visits"),
    ("statistics", "Count my visits in the store’s statistics"),
    ("group", "Recognise me in the other stores of this group too"),
    ("notes", "Staff may keep a note about me"),
    ("contact", "Tell me before it ends"),
]


class Migration(migrations.Migration):
    dependencies = [("consent", "0011_promised")]
    operations = [
        migrations.AlterField(
            model_name="consent",
            name="declined",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=PURPOSES, max_length=20),
                default=list,
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="consent",
            name="purposes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=PURPOSES, max_length=20), size=None
            ),
        ),
        migrations.AlterField(
            model_name="refusal",
            name="purpose",
            field=models.CharField(choices=PURPOSES, max_length=20),
        ),
    ]
