"""Who is searched for in fewer stores than before is forgotten there, and every recognizer says so.

`narrow` is an eviction whose template may be held again where its consent still covers it. When a
store leaves its group, many templates are narrowed at once: the recognizers read anew.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION visitors_group_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held record; eviction_id bigint;
BEGIN
    FOR held IN SELECT t.id, t.visitor_id FROM visitors_facetemplate t
                 WHERE t.consent_id = NEW.id AND t.purpose = ANY (NEW.purposes) LOOP
        INSERT INTO visitors_eviction (template, visitor, at)
            VALUES (held.id, held.visitor_id, clock_timestamp()) RETURNING id INTO eviction_id;
        PERFORM pg_notify('gallery', 'narrow ' || held.id || ' ' || eviction_id);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER group_ended AFTER UPDATE OF purposes ON consent_consent FOR EACH ROW
    WHEN ('group' = ANY (OLD.purposes) AND NOT 'group' = ANY (NEW.purposes)
          AND NEW.withdrawn_at IS NULL)
    EXECUTE FUNCTION visitors_group_ended();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER group_ended;

CREATE FUNCTION visitors_store_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gallery', 'reload');
    RETURN NULL;
END $$;
CREATE TRIGGER store_left AFTER DELETE ON stores_membership
    FOR EACH ROW EXECUTE FUNCTION visitors_store_left();
ALTER TABLE stores_membership ENABLE ALWAYS TRIGGER store_left;
"""

BACKWARD = """
DROP FUNCTION visitors_group_ended() CASCADE;
DROP FUNCTION visitors_store_left() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("visitors", "0011_frozen_presence"), ("consent", "0010_group")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
