"""A consent may cover other stores of a group, and names which.

The rule `consent_covers`, once for all who ask; what PostgreSQL refuses: a consent that names a
store which is not a member of its group at that moment, and a change of what was named.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

PURPOSES = [
    ("lane", "Recognise me when I come back"),
    ("pass", "Recognise me when I show my pass"),
    ("history", "Remember my visits"),
    ("statistics", "Count my visits in the store’s statistics"),
    ("group", "Recognise me in the other stores of this group too"),
    ("notes", "Staff may keep a note about me"),
    ("contact", "Tell me before it ends"),
]

FORWARD = """
CREATE FUNCTION consent_covers(
    home uuid, purposes varchar[], named uuid[], in_group uuid, signed timestamptz, here uuid
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT $6 = $1 OR 'group' = ANY ($2) AND $6 = ANY ($3) AND EXISTS (
        SELECT FROM stores_membership there
          JOIN stores_membership m ON m.group_id = there.group_id AND m.store_id = $1
          JOIN stores_store s ON s.id = there.store_id
          JOIN stores_store o ON o.id = m.store_id
         WHERE there.store_id = $6 AND there.group_id = $4
           -- Who left and came back was not there all the time.
           AND there.joined_at <= $5 AND m.joined_at <= $5
           AND s.organization_id = o.organization_id AND s.jurisdiction = o.jurisdiction)
$$;

CREATE FUNCTION consent_group_is_named() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.group_id, NEW.group_stores) IS DISTINCT FROM (OLD.group_id, OLD.group_stores) THEN
            RAISE EXCEPTION 'a signed consent is only ever withdrawn or shortened'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Locked first: a store that leaves at this moment is waited for, and then missing.
    PERFORM FROM stores_membership m WHERE m.group_id = NEW.group_id FOR SHARE;
    IF ('group' = ANY (NEW.purposes)) <> (NEW.group_id IS NOT NULL)
       OR ('group' = ANY (NEW.purposes)) <> (cardinality(NEW.group_stores) > 0)
       OR EXISTS (SELECT FROM unnest(NEW.group_stores) o
                   WHERE o = NEW.store_id OR NOT coalesce(consent_covers(
                       NEW.store_id, NEW.purposes, NEW.group_stores, NEW.group_id, NEW.signed_at, o
                   ), FALSE))
    THEN
        RAISE EXCEPTION 'a consent names the other stores of its own group, and only with it'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER consent_group_is_named BEFORE INSERT OR UPDATE ON consent_consent
    FOR EACH ROW EXECUTE FUNCTION consent_group_is_named();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER consent_group_is_named;
"""

BACKWARD = """
DROP FUNCTION consent_group_is_named() CASCADE;
DROP FUNCTION consent_covers(uuid, varchar[], uuid[], uuid, timestamptz, uuid);
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0009_presence_witness"), ("stores", "0011_groups")]
    operations = [
        migrations.AlterField(
            model_name="consent",
            name="declined",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=PURPOSES, max_length=20),
                default=list,
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="consent",
            name="purposes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=PURPOSES, max_length=20), size=None
            ),
        ),
        migrations.AlterField(
            model_name="refusal",
            name="purpose",
            field=models.CharField(choices=PURPOSES, max_length=20),
        ),
        migrations.AddField(
            model_name="consent",
            name="group",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="consents",
                to="stores.storegroup",
            ),
        ),
        migrations.AddField(
            model_name="consent",
            name="group_stores",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(),
                blank=True,
                db_default=[],
                default=list,
                size=None,
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
