"""The policy of the pass is that of the card."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0014_policies"),
    ]

    operations = [
        migrations.AlterField(
            model_name="policy",
            name="kind",
            field=models.CharField(
                choices=[
                    ("lane", "Face template for the lane, after the last visit"),
                    ("pass", "Face template for the pass, and the card, after the last visit"),
                    ("history", "A visit, for the person’s own history"),
                    ("statistics", "A visit, for the store’s statistics"),
                    ("consent", "The longest consent that can be signed"),
                ],
                max_length=10,
            ),
        ),
    ]
