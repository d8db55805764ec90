"""A consent that was renewed from its receipt: at no tablet, and naming the one that it renews."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0006_witness")]

    operations = [
        migrations.AlterField(
            model_name="consent",
            name="signature_method",
            field=models.CharField(
                choices=[
                    ("drawn", "Drawn by finger"),
                    ("typed", "Typed name"),
                    ("code", "By the code of the receipt"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="consent",
            name="device",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="consents",
                to="stores.device",
            ),
        ),
        migrations.AddField(
            model_name="consent",
            name="renews",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="renewed_by",
                to="consent.consent",
            ),
        ),
        migrations.RemoveConstraint(model_name="consent", name="typed_or_for_a_child_is_witnessed"),
        migrations.AddConstraint(
            model_name="consent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("guardian__isnull", True), ("signature_method__in", ["drawn", "code"])
                )
                | models.Q(("witness__isnull", False)),
                name="typed_or_for_a_child_is_witnessed",
            ),
        ),
        migrations.AddConstraint(
            model_name="consent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("device__isnull", True),
                    ("guardian__isnull", True),
                    ("signature_method", "code"),
                )
                | (
                    ~models.Q(("signature_method", "code"))
                    & models.Q(("device__isnull", False), ("renews__isnull", True))
                ),
                name="only_a_renewal_was_given_at_no_tablet",
            ),
        ),
    ]
