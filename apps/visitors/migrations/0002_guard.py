"""What PostgreSQL itself refuses and announces about consents and templates.

No template without a live, signed consent of the same person, store and purpose; a signed consent
is never rewritten, only withdrawn or shortened; every end of a template is announced to all
recognizers in the transaction that ends it.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION visitors_template_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER template_needs_consent BEFORE INSERT OR UPDATE ON visitors_facetemplate
    FOR EACH ROW EXECUTE FUNCTION visitors_template_needs_consent();
ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_needs_consent;

CREATE FUNCTION visitors_consent_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.subject, NEW.store_id, NEW.text_id, NEW.digest, NEW.locale, NEW.declined, NEW.signature,
        NEW.signature_method, NEW.device_id, NEW.signed_at)
       IS DISTINCT FROM
       (OLD.subject, OLD.store_id, OLD.text_id, OLD.digest, OLD.locale, OLD.declined, OLD.signature,
        OLD.signature_method, OLD.device_id, OLD.signed_at)
       OR NEW.expires_at > OLD.expires_at
       OR NEW.delete_after > OLD.delete_after
       OR NOT NEW.purposes <@ OLD.purposes
       OR (OLD.withdrawn_at IS NOT NULL AND NEW.withdrawn_at IS DISTINCT FROM OLD.withdrawn_at)
    THEN
        RAISE EXCEPTION 'a signed consent is only ever withdrawn or shortened'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER consent_is_frozen BEFORE UPDATE ON consent_consent
    FOR EACH ROW EXECUTE FUNCTION visitors_consent_is_frozen();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER consent_is_frozen;

CREATE FUNCTION visitors_evict(template_id uuid, visitor_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE eviction_id bigint;
BEGIN
    INSERT INTO visitors_eviction (template, visitor, at)
        VALUES (template_id, visitor_id, clock_timestamp()) RETURNING id INTO eviction_id;
    PERFORM pg_notify('gallery', 'evict ' || template_id || ' ' || eviction_id);
END $$;

CREATE FUNCTION visitors_template_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM visitors_evict(OLD.id, OLD.visitor_id);
    ELSE
        PERFORM pg_notify('gallery', 'enrol ' || NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER template_changed
    AFTER INSERT OR DELETE OR UPDATE OF delete_after ON visitors_facetemplate
    FOR EACH ROW EXECUTE FUNCTION visitors_template_changed();
ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_changed;

CREATE FUNCTION visitors_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM visitors_evict(t.id, t.visitor_id)
       FROM visitors_facetemplate t WHERE t.consent_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER consent_ended
    AFTER UPDATE OF withdrawn_at, expires_at, purposes ON consent_consent FOR EACH ROW
    WHEN (NEW.withdrawn_at IS DISTINCT FROM OLD.withdrawn_at OR NEW.expires_at < OLD.expires_at
          OR NEW.purposes <> OLD.purposes)
    EXECUTE FUNCTION visitors_consent_ended();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER consent_ended;

CREATE FUNCTION visitors_restriction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.restricted_at IS NOT NULL THEN
        PERFORM visitors_evict(t.id, t.visitor_id)
           FROM visitors_facetemplate t WHERE t.visitor_id = NEW.id;
    ELSE
        PERFORM pg_notify('gallery', 'enrol ' || t.id)
           FROM visitors_facetemplate t WHERE t.visitor_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER restriction_changed AFTER UPDATE OF restricted_at ON visitors_visitor FOR EACH ROW
    WHEN (NEW.restricted_at IS DISTINCT FROM OLD.restricted_at)
    EXECUTE FUNCTION visitors_restriction_changed();
ALTER TABLE visitors_visitor ENABLE ALWAYS TRIGGER restriction_changed;
"""

BACKWARD = """
DROP FUNCTION visitors_template_needs_consent() CASCADE;
DROP FUNCTION visitors_consent_is_frozen() CASCADE;
DROP FUNCTION visitors_template_changed() CASCADE;
DROP FUNCTION visitors_consent_ended() CASCADE;
DROP FUNCTION visitors_restriction_changed() CASCADE;
DROP FUNCTION visitors_evict(uuid, uuid);
"""


class Migration(migrations.Migration):
    dependencies = [("visitors", "0001_initial"), ("consent", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
