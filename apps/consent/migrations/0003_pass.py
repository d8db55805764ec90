"""A purpose of its own for whoever wants to be recognised by their pass."""

import django.contrib.postgres.fields
from django.db import migrations, models

PURPOSES = [
    ("lane", "Recognise me when I come back"),
    ("pass", "Recognise me when I show my pass"),
    ("history", "Remember my visits"),
    ("contact", "Tell me before it ends"),
]


class Migration(migrations.Migration):
    dependencies = [("consent", "0002_frozen_notice")]
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
