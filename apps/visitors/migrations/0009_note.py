"""A note by staff: only on whoever agreed to it, and gone with that purpose, whoever narrows it."""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION visitors_note_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM consent_consent c JOIN visitors_visitor v ON v.subject = c.subject
     WHERE v.id = NEW.visitor_id AND 'notes' = ANY (c.purposes)
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a note needs a live, signed consent to notes'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note_needs_consent BEFORE INSERT OR UPDATE ON visitors_note
    FOR EACH ROW EXECUTE FUNCTION visitors_note_needs_consent();
ALTER TABLE visitors_note ENABLE ALWAYS TRIGGER note_needs_consent;

CREATE FUNCTION visitors_notes_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM visitors_note n USING visitors_visitor v
     WHERE v.id = n.visitor_id AND v.subject = NEW.subject;
    RETURN NULL;
END $$;
CREATE TRIGGER notes_ended AFTER UPDATE OF purposes ON consent_consent FOR EACH ROW
    WHEN ('notes' = ANY (OLD.purposes) AND NOT 'notes' = ANY (NEW.purposes))
    EXECUTE FUNCTION visitors_notes_ended();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER notes_ended;
"""

BACKWARD = """
DROP FUNCTION visitors_note_needs_consent() CASCADE;
DROP FUNCTION visitors_notes_ended() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("visitors", "0008_frozen_witness"), ("consent", "0007_purposes")]
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "visitor",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="note",
                        serialize=False,
                        to="visitors.visitor",
                    ),
                ),
                ("text", models.CharField(max_length=200)),
                ("written_at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
