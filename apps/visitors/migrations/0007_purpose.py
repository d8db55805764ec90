"""Taking one purpose out of a consent ends the templates for it and no others.

Before, every template of the consent was evicted, and whoever gave up their history would have been
a stranger at the lane until the recognizer started again.
"""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION visitors_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- {comment}
    IF NEW.withdrawn_at IS NULL {condition}
       AND NEW.expires_at > clock_timestamp() THEN
        {going_on}
        RETURN NULL;
    END IF;
    PERFORM visitors_evict(t.id, t.visitor_id)
       FROM visitors_facetemplate t WHERE t.consent_id = NEW.id;
    RETURN NULL;
END $$;
"""
FORWARD = FUNCTION.format(
    comment="Shortened or narrowed, and not over yet.",
    condition="",
    going_on="""PERFORM visitors_evict(t.id, t.visitor_id) FROM visitors_facetemplate t
          WHERE t.consent_id = NEW.id AND NOT t.purpose = ANY (NEW.purposes);""",
)
# As in 0006.
BACKWARD = FUNCTION.format(
    comment="Shortened, and not over yet.",
    condition="AND NEW.purposes = OLD.purposes",
    going_on="",
)


class Migration(migrations.Migration):
    dependencies = [("visitors", "0006_follow")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
