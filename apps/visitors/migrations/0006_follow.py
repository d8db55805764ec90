"""A template follows its consent when that is shortened, and is recognised until the new end.

A material change of the notice lets thousands of consents end in some weeks, at once. Their
templates' deadlines move in one statement, and the recognizers hear of it once. `not_after` stays:
it is sealed into the template.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION visitors_template_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE consent_end timestamptz;
BEGIN
    SELECT c.expires_at INTO consent_end
      FROM consent_consent c JOIN visitors_visitor v ON v.subject = c.subject
     WHERE c.id = NEW.consent_id AND v.id = NEW.visitor_id AND c.store_id = NEW.store_id
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       AND NEW.purpose = ANY (c.purposes)
       AND (NEW.not_after <= c.expires_at
            -- What was sealed before its consent was shortened.
            OR (TG_OP = 'UPDATE' AND NEW.not_after = OLD.not_after
                AND NEW.consent_id = OLD.consent_id))
       AND NEW.delete_after > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a template needs a live, signed consent for its purpose, store and term'
            USING ERRCODE = 'check_violation';
    END IF;
    -- Past what was sealed in is nothing to be mended: the table's own check refuses it.
    IF NEW.delete_after <= NEW.not_after THEN
        NEW.delete_after := least(NEW.delete_after, consent_end);
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION visitors_template_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM visitors_evict(OLD.id, OLD.visitor_id);
    ELSIF TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 THEN
        -- From `visitors_templates_follow`: the same words for all rows, so that one is sent.
        PERFORM pg_notify('gallery', 'reload');
    ELSE
        PERFORM pg_notify('gallery', 'enrol ' || NEW.id);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION visitors_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Shortened, and not over yet.
    IF NEW.withdrawn_at IS NULL AND NEW.purposes = OLD.purposes
       AND NEW.expires_at > clock_timestamp() THEN
        RETURN NULL;
    END IF;
    PERFORM visitors_evict(t.id, t.visitor_id)
       FROM visitors_facetemplate t WHERE t.consent_id = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION visitors_templates_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE visitors_facetemplate t SET delete_after = n.expires_at
      FROM new_rows n JOIN old_rows o ON o.id = n.id
     WHERE t.consent_id = n.id AND n.expires_at < o.expires_at
       AND n.withdrawn_at IS NULL AND n.expires_at > clock_timestamp()
       AND t.purpose = ANY (n.purposes)
       AND t.delete_after > n.expires_at;
    RETURN NULL;
END $$;
CREATE TRIGGER templates_follow AFTER UPDATE ON consent_consent
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION visitors_templates_follow();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER templates_follow;
"""

# The functions of 0002 as they were.
BACKWARD = """
DROP FUNCTION visitors_templates_follow() CASCADE;
CREATE OR REPLACE FUNCTION visitors_template_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM consent_consent c JOIN visitors_visitor v ON v.subject = c.subject
     WHERE c.id = NEW.consent_id AND v.id = NEW.visitor_id AND c.store_id = NEW.store_id
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       AND NEW.purpose = ANY (c.purposes) AND NEW.not_after <= c.expires_at
       AND NEW.delete_after > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a template needs a live, signed consent for its purpose, store and term'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION visitors_template_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM visitors_evict(OLD.id, OLD.visitor_id);
    ELSE
        PERFORM pg_notify('gallery', 'enrol ' || NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION visitors_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM visitors_evict(t.id, t.visitor_id)
       FROM visitors_facetemplate t WHERE t.consent_id = NEW.id;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("visitors", "0005_change_of_pack"), ("consent", "0004_four_eyes")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
