"""What PostgreSQL itself refuses about assessments.

Whoever wrote in one for a lane does not sign it, and what was signed is never changed or deleted.
Those of version 0 were signed before assessments were documents; nobody is named as their writer.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION stores_assessment_is_guarded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.version > 0 AND OLD.signed_at IS NOT NULL THEN
        RAISE EXCEPTION 'a signed assessment is never changed; write a new version'
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.version > 0 AND NEW.signed_at IS NOT NULL THEN
        IF cardinality(NEW.editors) = 0 OR NEW.digest = '' THEN
            RAISE EXCEPTION 'an assessment is signed with its writers and its digest'
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.mode = 'lane' AND NEW.signed_by_id = ANY (NEW.editors) THEN
            RAISE EXCEPTION 'for a lane somebody signs who did not write in it'
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    -- Nothing that is being written can go back to the time before there were documents.
    IF TG_OP = 'UPDATE' AND NEW.version <> OLD.version THEN
        RAISE EXCEPTION 'an assessment keeps its version' USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER assessment_is_guarded BEFORE INSERT OR UPDATE OR DELETE ON stores_assessment
    FOR EACH ROW EXECUTE FUNCTION stores_assessment_is_guarded();
ALTER TABLE stores_assessment ENABLE ALWAYS TRIGGER assessment_is_guarded;
"""

BACKWARD = "DROP FUNCTION stores_assessment_is_guarded() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("stores", "0012_duties")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
