"""A tablet at the door that reads passes: a device that is a camera as well."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0005_way_past")]
    operations = [
        migrations.AddField(
            model_name="device",
            name="camera",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tablet",
                to="stores.camera",
            ),
        ),
        migrations.AlterField(
            model_name="device",
            name="kind",
            field=models.CharField(
                choices=[("kiosk", "Kiosk tablet"), ("door", "Door tablet, reads passes")],
                default="kiosk",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="camera",
            name="source",
            field=models.CharField(
                blank=True,
                help_text="A file, an RTSP address or a USB device. Empty for a door tablet only.",
                max_length=400,
            ),
        ),
        migrations.AddConstraint(
            model_name="device",
            constraint=models.CheckConstraint(
                condition=models.Q(("camera__isnull", False), ("kind", "door"))
                | models.Q(("camera", None), ("kind", "kiosk")),
                name="a_door_tablet_is_a_camera",
            ),
        ),
        migrations.AddConstraint(
            model_name="camera",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("mode", "pass"), models.Q(("source", ""), _negated=True), _connector="OR"
                ),
                name="a_tablet_reads_passes_only",
            ),
        ),
    ]
