"""What the watchdog has told and not seen the end of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0008_holds"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alarm",
            fields=[
                ("kind", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("told_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
