"""A template names the rotation that turned it, and no rotation goes before the last such template.

The share lock on the named row closes the gap between the two: whoever deletes a rotation waits for
a template that is just being written, and then sees it.
"""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION visitors_template_names_rotation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM visitors_rotation r JOIN stores_store s ON s.organization_id = r.organization_id
     WHERE s.id = NEW.store_id AND r.number = NEW.rotation FOR KEY SHARE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a template names a rotation of its own organization'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER template_names_rotation
    BEFORE INSERT OR UPDATE OF rotation, store_id ON visitors_facetemplate
    FOR EACH ROW WHEN (NEW.rotation > 0) EXECUTE FUNCTION visitors_template_names_rotation();
ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_names_rotation;

CREATE FUNCTION visitors_rotation_retires() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM visitors_facetemplate t JOIN stores_store s ON s.id = t.store_id
     WHERE s.organization_id = OLD.organization_id AND t.rotation = OLD.number;
    IF FOUND THEN
        RAISE EXCEPTION 'a template still names this rotation'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    PERFORM pg_notify('gallery', 'retire ' || OLD.organization_id || ' ' || OLD.number);
    RETURN OLD;
END $$;
CREATE TRIGGER rotation_retires BEFORE DELETE ON visitors_rotation
    FOR EACH ROW EXECUTE FUNCTION visitors_rotation_retires();
ALTER TABLE visitors_rotation ENABLE ALWAYS TRIGGER rotation_retires;
"""

BACKWARD = """
DROP FUNCTION visitors_template_names_rotation() CASCADE;
DROP FUNCTION visitors_rotation_retires() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("stores", "0003_pass"), ("visitors", "0003_pass")]
    operations = [
        migrations.CreateModel(
            name="Rotation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rotations",
                        to="stores.organization",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("wrapped", models.BinaryField()),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "finished_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When no template for a lane was left behind.",
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "number"), name="rotation_number_once"
                    )
                ]
            },
        ),
        migrations.AddField(
            model_name="facetemplate",
            name="rotation",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
