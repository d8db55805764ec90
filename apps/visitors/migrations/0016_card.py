"""A card: only of whoever agreed to it, in its store, and never beyond the end of that consent."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

FORWARD = """
ALTER TABLE visitors_card ADD CONSTRAINT card_is_a_digest CHECK (octet_length(digest) = 32);

CREATE FUNCTION visitors_card_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE consent_end timestamptz;
BEGIN
    SELECT c.expires_at INTO consent_end
      FROM consent_consent c JOIN visitors_visitor v ON v.subject = c.subject
     WHERE c.id = NEW.consent_id AND v.id = NEW.visitor_id AND c.store_id = NEW.store_id
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       AND 'card' = ANY (c.purposes) AND NEW.delete_after > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a card needs a live, signed consent to it, for its store'
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.delete_after := least(NEW.delete_after, consent_end);
    RETURN NEW;
END $$;
CREATE TRIGGER card_needs_consent BEFORE INSERT OR UPDATE ON visitors_card
    FOR EACH ROW EXECUTE FUNCTION visitors_card_needs_consent();
ALTER TABLE visitors_card ENABLE ALWAYS TRIGGER card_needs_consent;

-- As templates do (0006), where a material change of the notice lets many consents end at once.
CREATE FUNCTION visitors_cards_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE visitors_card t SET delete_after = n.expires_at
      FROM new_rows n JOIN old_rows o ON o.id = n.id
     WHERE t.consent_id = n.id AND n.expires_at < o.expires_at
       AND n.withdrawn_at IS NULL AND n.expires_at > clock_timestamp()
       AND 'card' = ANY (n.purposes) AND t.delete_after > n.expires_at;
    RETURN NULL;
END $$;
CREATE TRIGGER cards_follow AFTER UPDATE ON consent_consent
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION visitors_cards_follow();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER cards_follow;
"""
BACKWARD = """
DROP FUNCTION visitors_cards_follow() CASCADE;
DROP FUNCTION visitors_card_needs_consent() CASCADE;
ALTER TABLE visitors_card DROP CONSTRAINT card_is_a_digest;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0012_card"),
        ("stores", "0015_card"),
        ("visitors", "0015_stated"),
    ]
    operations = [
        migrations.CreateModel(
            name="Card",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("delete_after", models.DateTimeField(db_index=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "consent",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cards",
                        to="consent.consent",
                    ),
                ),
                (
                    "store",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cards",
                        to="stores.store",
                    ),
                ),
                (
                    "visitor",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="card",
                        to="visitors.visitor",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
