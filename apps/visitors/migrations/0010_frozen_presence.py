"""Who saw a person before the camera is frozen with the rest of a signed consent."""

from django.db import migrations

FROZEN = """
CREATE OR REPLACE FUNCTION visitors_consent_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.subject, NEW.store_id, NEW.text_id, NEW.digest, NEW.locale, NEW.declined, NEW.signature,
        NEW.signature_method, NEW.guardian, NEW.witness_id, NEW.device_id, NEW.signed_at{new})
       IS DISTINCT FROM
       (OLD.subject, OLD.store_id, OLD.text_id, OLD.digest, OLD.locale, OLD.declined, OLD.signature,
        OLD.signature_method, OLD.guardian, OLD.witness_id, OLD.device_id, OLD.signed_at{old})
       OR (NEW.renews_id IS NOT NULL AND NEW.renews_id IS DISTINCT FROM OLD.renews_id)
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
"""
FORWARD = FROZEN.format(new=", NEW.presence_witness_id", old=", OLD.presence_witness_id")
BACKWARD = FROZEN.format(new="", old="")


class Migration(migrations.Migration):
    dependencies = [("visitors", "0009_frozen_renewal"), ("consent", "0008_presence_witness")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
