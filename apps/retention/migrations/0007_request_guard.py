"""What PostgreSQL refuses of a request that a row alone does not show: moving what is settled.

An identity once verified is not given to somebody else; a request that was closed is not opened
again; a deadline moves by the stops of the clock alone, and by one extension.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION retention_request_is_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.verified_at IS NOT NULL
       AND (NEW.verified_at, NEW.verified_by, NEW.verified_how, NEW.subject)
       IS DISTINCT FROM (OLD.verified_at, OLD.verified_by, OLD.verified_how, OLD.subject)
    THEN
        RAISE EXCEPTION 'whose request this is was verified, and stays'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.closed_at IS NOT NULL AND (NEW.state, NEW.closed_at, NEW.closed_by)
       IS DISTINCT FROM (OLD.state, OLD.closed_at, OLD.closed_by)
    THEN
        RAISE EXCEPTION 'a request that was closed is not opened again'
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.received_at, NEW.kind, NEW.store_id, NEW.opened_by)
       IS DISTINCT FROM (OLD.received_at, OLD.kind, OLD.store_id, OLD.opened_by)
       OR NEW.stopped_for < OLD.stopped_for
       OR NEW.first_due_at - OLD.first_due_at IS DISTINCT FROM NEW.stopped_for - OLD.stopped_for
    THEN
        RAISE EXCEPTION 'a deadline moves by the stops of its clock alone'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.stopped_at IS NULL AND NEW.stopped_for <> OLD.stopped_for
       OR OLD.stopped_at IS NOT NULL
          AND NEW.stopped_for - OLD.stopped_for > clock_timestamp() - OLD.stopped_at
    THEN
        RAISE EXCEPTION 'a clock gains no more than it stood still'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.stopped_at < clock_timestamp() - interval '1 minute'
       AND NEW.stopped_at IS DISTINCT FROM OLD.stopped_at
    THEN
        RAISE EXCEPTION 'a clock stops now, not in the past'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.extended_at IS NOT NULL AND (NEW.extended_at IS DISTINCT FROM OLD.extended_at
       OR NEW.due_at - NEW.first_due_at IS DISTINCT FROM OLD.due_at - OLD.first_due_at)
    THEN
        RAISE EXCEPTION 'a request is extended once'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.extended_at IS NULL AND NEW.extended_at IS NOT NULL
       AND (clock_timestamp() >= OLD.first_due_at OR OLD.closed_at IS NOT NULL)
    THEN
        RAISE EXCEPTION 'a request is extended inside its first period'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_is_settled BEFORE UPDATE ON retention_request
    FOR EACH ROW EXECUTE FUNCTION retention_request_is_settled();
ALTER TABLE retention_request ENABLE ALWAYS TRIGGER request_is_settled;
"""

BACKWARD = "DROP FUNCTION retention_request_is_settled() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("retention", "0006_request")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
