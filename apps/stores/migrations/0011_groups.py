"""Groups of stores that may recognise each other's visitors.

What PostgreSQL itself refuses: a member of another organization or jurisdiction, a membership that
is rewritten or begins in the past, and a member that moves to another organization or jurisdiction.
"""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION stores_membership_is_lawful() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a membership begins and ends; it is never rewritten'
            USING ERRCODE = 'check_violation';
    END IF;
    -- Locked first: two stores that join at once, or one that moves while it joins, see each other.
    PERFORM FROM stores_storegroup g WHERE g.id = NEW.group_id FOR NO KEY UPDATE;
    PERFORM FROM stores_store s WHERE s.id = NEW.store_id FOR SHARE;
    PERFORM FROM stores_storegroup g JOIN stores_store s ON s.id = NEW.store_id
      WHERE g.id = NEW.group_id AND s.organization_id = g.organization_id
        AND NOT EXISTS (SELECT FROM stores_membership m JOIN stores_store o ON o.id = m.store_id
                         WHERE m.group_id = g.id AND o.jurisdiction <> s.jurisdiction);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the stores of a group share one organization and one jurisdiction'
            USING ERRCODE = 'check_violation';
    END IF;
    -- Since when a store is in it is not for anyone to choose.
    NEW.joined_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER membership_is_lawful BEFORE INSERT OR UPDATE ON stores_membership
    FOR EACH ROW EXECUTE FUNCTION stores_membership_is_lawful();
ALTER TABLE stores_membership ENABLE ALWAYS TRIGGER membership_is_lawful;

CREATE FUNCTION stores_member_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM stores_membership m WHERE m.store_id = NEW.id;
    IF FOUND THEN
        RAISE EXCEPTION 'a store in a group keeps its organization and its jurisdiction'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER member_stays BEFORE UPDATE ON stores_store FOR EACH ROW
    WHEN ((NEW.organization_id, NEW.jurisdiction)
          IS DISTINCT FROM (OLD.organization_id, OLD.jurisdiction))
    EXECUTE FUNCTION stores_member_stays();
ALTER TABLE stores_store ENABLE ALWAYS TRIGGER member_stays;
"""

BACKWARD = """
DROP FUNCTION stores_membership_is_lawful() CASCADE;
DROP FUNCTION stores_member_stays() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("stores", "0010_tablet_health")]
    operations = [
        migrations.CreateModel(
            name="StoreGroup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="groups",
                        to="stores.organization",
                    ),
                ),
            ],
            options={"ordering": ("name",)},
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "store",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="membership",
                        serialize=False,
                        to="stores.store",
                    ),
                ),
                (
                    "joined_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to="stores.storegroup",
                    ),
                ),
            ],
            options={"ordering": ("store__name",)},
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
