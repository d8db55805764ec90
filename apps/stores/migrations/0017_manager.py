"""A role for whoever manages a store."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stores", "0016_no_assessment_before_documents"),
    ]

    operations = [
        migrations.AlterField(
            model_name="role",
            name="kind",
            field=models.CharField(
                choices=[
                    ("staff", "Sales staff"),
                    ("manager", "Store manager"),
                    ("dpo", "Data protection officer"),
                ],
                max_length=10,
            ),
        ),
    ]
