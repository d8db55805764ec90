"""When a store leaves its group, the visits there that rested on the group are over at once."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION visits_store_left() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE each_store uuid;
BEGIN
    -- The lock of visits.services.one_at_a_time: whoever is being disclosed in any of these stores
    -- is a visit before this, or asks after it.
    FOR each_store IN SELECT m.store_id FROM stores_membership m WHERE m.group_id = OLD.group_id
                       UNION SELECT OLD.store_id ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(each_store::text, 0));
    END LOOP;
    UPDATE visits_visit p SET delete_after = clock_timestamp()
      FROM consent_consent c
     WHERE c.id = p.consent_id AND c.group_id = OLD.group_id AND p.store_id <> c.store_id
       AND p.delete_after > clock_timestamp()
       AND NOT consent_covers(
           c.store_id, c.purposes, c.group_stores, c.group_id, c.signed_at, p.store_id);
    RETURN NULL;
END $$;
CREATE TRIGGER visits_store_left AFTER DELETE ON stores_membership
    FOR EACH ROW EXECUTE FUNCTION visits_store_left();
ALTER TABLE stores_membership ENABLE ALWAYS TRIGGER visits_store_left;
"""

BACKWARD = "DROP FUNCTION visits_store_left() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("visits", "0005_look_alike"), ("consent", "0010_group")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
