"""Nothing from the time before assessments were documents comes after the first document.

Those of version 0 name no writer, so the rule that somebody else signs does not reach them. They
stay as they are; another one is refused in every house that has written a document since.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION stores_assessment_is_a_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM stores_assessment WHERE version > 0) THEN
        RAISE EXCEPTION 'an assessment is a document by now: begin a version of one'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER assessment_is_a_document BEFORE INSERT ON stores_assessment
    FOR EACH ROW WHEN (NEW.version = 0) EXECUTE FUNCTION stores_assessment_is_a_document();
ALTER TABLE stores_assessment ENABLE ALWAYS TRIGGER assessment_is_a_document;
"""

BACKWARD = "DROP FUNCTION stores_assessment_is_a_document() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("stores", "0015_card")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
