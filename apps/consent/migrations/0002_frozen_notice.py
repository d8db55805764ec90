"""What PostgreSQL itself refuses about notices.

Publishing needs each text's own digest; from then on neither the notice nor a text of it is ever
changed, added or taken away. The portal hides the controls, but an officer's form that was opened
before the publication may still arrive after it.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION consent_notice_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION 'a published notice is never changed; make a new version'
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.published_at IS NOT NULL AND EXISTS (
        SELECT 1 FROM consent_noticetext t WHERE t.notice_id = NEW.id
           AND t.digest IS DISTINCT FROM encode(sha256(convert_to(
               t.locale || chr(30) || t.short || chr(30) || t.full, 'UTF8')), 'hex'))
    THEN
        RAISE EXCEPTION 'a notice is published with the digest of each of its texts'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER notice_is_frozen BEFORE UPDATE OR DELETE ON consent_notice
    FOR EACH ROW EXECUTE FUNCTION consent_notice_is_frozen();
ALTER TABLE consent_notice ENABLE ALWAYS TRIGGER notice_is_frozen;

CREATE FUNCTION consent_text_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    old_notice uuid := CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.notice_id END;
    new_notice uuid := CASE TG_OP WHEN 'DELETE' THEN NULL ELSE NEW.notice_id END;
BEGIN
    -- Locked first, asked second: whoever publishes this notice now is waited for, and then seen.
    PERFORM 1 FROM consent_notice n WHERE n.id = old_notice OR n.id = new_notice FOR SHARE;
    PERFORM 1 FROM consent_notice n
      WHERE (n.id = old_notice OR n.id = new_notice) AND n.published_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the text of a published notice is never changed; make a new version'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER text_is_frozen BEFORE INSERT OR UPDATE OR DELETE ON consent_noticetext
    FOR EACH ROW EXECUTE FUNCTION consent_text_is_frozen();
ALTER TABLE consent_noticetext ENABLE ALWAYS TRIGGER text_is_frozen;
"""

BACKWARD = """
DROP FUNCTION consent_notice_is_frozen() CASCADE;
DROP FUNCTION consent_text_is_frozen() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
