"""A card: only of whoever agreed to it, within the store and the term of that consent."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

FORWARD = """
ALTER TABLE visitors_card ADD CONSTRAINT card_is_a_digest CHECK (octet_length(digest) = 32);

CREATE FUNCTION visitors_card_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM consent_consent c JOIN visitors_visitor v ON v.subject = c.subject
     WHERE c.id = NEW.consent_id AND v.id = NEW.visitor_id AND c.store_id = NEW.store_id
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       AND 'card' = ANY (c.purposes) AND NEW.not_after <= c.expires_at
       AND NEW.delete_after > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a card needs a live, signed consent to it, for its store and term'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER card_needs_consent BEFORE INSERT OR UPDATE ON visitors_card
    FOR EACH ROW EXECUTE FUNCTION visitors_card_needs_consent();
ALTER TABLE visitors_card ENABLE ALWAYS TRIGGER card_needs_consent;
"""
BACKWARD = """
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
                ("not_after", models.DateTimeField()),
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
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("delete_after__lte", models.F("not_after"))),
                        name="card_never_outlives_consent",
                    )
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
