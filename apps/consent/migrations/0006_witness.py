"""A signature without drawing, and a guardian who co-signs: each in the presence of a witness."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0005_withdrawal"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="consent",
            name="signature_method",
            field=models.CharField(
                choices=[("drawn", "Drawn by finger"), ("typed", "Typed name")], max_length=10
            ),
        ),
        migrations.AddField(
            model_name="consent",
            name="guardian",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="consent",
            name="witness",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="witnessed_consents",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="consent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("guardian__isnull", True),
                    ("signature_method", "drawn"),
                )
                | models.Q(("witness__isnull", False)),
                name="typed_or_for_a_child_is_witnessed",
            ),
        ),
    ]
