"""Deletions that a restored database must do again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_pruning")]
    operations = [
        migrations.CreateModel(
            name="Deletion",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("detail", models.JSONField()),
                ("listed_at", models.DateTimeField(db_index=True, null=True)),
            ],
        ),
    ]
