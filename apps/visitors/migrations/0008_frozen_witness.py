"""Who co-signed and who saw it is frozen with the rest of a signed consent."""

from django.db import migrations

FROZEN = """
CREATE OR REPLACE FUNCTION visitors_consent_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.subject, NEW.store_id, NEW.text_id, NEW.digest, NEW.locale, NEW.declined, NEW.signature,
        NEW.signature_method,{new} NEW.device_id, NEW.signed_at)
       IS DISTINCT FROM
       (OLD.subject, OLD.store_id, OLD.text_id, OLD.digest, OLD.locale, OLD.declined, OLD.signature,
        OLD.signature_method,{old} OLD.device_id, OLD.signed_at)
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
FORWARD = FROZEN.format(new=" NEW.guardian, NEW.witness_id,", old=" OLD.guardian, OLD.witness_id,")
BACKWARD = FROZEN.format(new="", old="")


class Migration(migrations.Migration):
    dependencies = [("visitors", "0007_purpose"), ("consent", "0006_witness")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
