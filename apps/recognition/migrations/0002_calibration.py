"""What was measured of a pack, and its threshold: rows are added, and changed by nobody."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

GUARD = """
CREATE FUNCTION recognition_calibration_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'calibrations are append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- A threshold rests on a measurement of the same weights, not on another choice.
CREATE FUNCTION recognition_calibration_rests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.basis_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM recognition_calibration m
         WHERE m.id = NEW.basis_id AND m.pack = NEW.pack AND m.pack_version = NEW.pack_version
           AND m.measured IS NOT NULL)
    THEN
        RAISE EXCEPTION 'a threshold rests on a measurement of its own pack and version'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER recognition_calibration_append_only BEFORE UPDATE OR DELETE
    ON recognition_calibration FOR EACH ROW EXECUTE FUNCTION recognition_calibration_refuse();
CREATE TRIGGER recognition_calibration_no_truncate BEFORE TRUNCATE
    ON recognition_calibration FOR EACH STATEMENT EXECUTE FUNCTION recognition_calibration_refuse();
CREATE TRIGGER recognition_calibration_on_a_measurement BEFORE INSERT
    ON recognition_calibration FOR EACH ROW EXECUTE FUNCTION recognition_calibration_rests();
ALTER TABLE recognition_calibration ENABLE ALWAYS TRIGGER recognition_calibration_append_only;
ALTER TABLE recognition_calibration ENABLE ALWAYS TRIGGER recognition_calibration_no_truncate;
ALTER TABLE recognition_calibration ENABLE ALWAYS TRIGGER recognition_calibration_on_a_measurement;
"""

UNGUARD = """
DROP TRIGGER recognition_calibration_append_only ON recognition_calibration;
DROP TRIGGER recognition_calibration_no_truncate ON recognition_calibration;
DROP TRIGGER recognition_calibration_on_a_measurement ON recognition_calibration;
DROP FUNCTION recognition_calibration_refuse();
DROP FUNCTION recognition_calibration_rests();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("recognition", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Calibration",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("pack", models.CharField(max_length=60)),
                ("pack_version", models.CharField(max_length=80)),
                ("threshold", models.FloatField()),
                ("slope", models.FloatField()),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("shipped", "measured by the makers of this software"),
                            ("measured", "measured here"),
                            ("chosen", "chosen by an officer"),
                        ],
                        max_length=10,
                    ),
                ),
                ("measured", models.JSONField(blank=True, null=True)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("recorded_by", models.CharField(max_length=80)),
                ("recorded_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "basis",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="recognition.calibration",
                    ),
                ),
            ],
            options={
                "verbose_name": "calibration",
                "verbose_name_plural": "calibration",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["pack", "pack_version", "-id"], name="last_calibration")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("slope__gte", 0),
                            ("slope__lte", 1),
                            ("threshold__gt", 0),
                            ("threshold__lt", 1),
                        ),
                        name="threshold_is_a_cosine",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("basis__isnull", False),
                                ("measured__isnull", True),
                                ("source", "chosen"),
                            ),
                            models.Q(
                                ("basis", None),
                                ("measured__isnull", False),
                                ("source__in", ["shipped", "measured"]),
                            ),
                            _connector="OR",
                        ),
                        name="calibration_rests_on_a_measurement",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
