"""What may be known of the keyring, and no key is wrapped by a generation that is closed.

The share lock on the generation closes the gap between the two: whoever closes one waits for a key
that is just being written under it, and then sees it.
"""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION visitors_refuse_closed_generation(named bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE closed timestamptz;
BEGIN
    SELECT closed_at INTO closed FROM visitors_keygeneration WHERE number = named FOR SHARE;
    IF closed IS NOT NULL THEN
        RAISE EXCEPTION 'key generation % is being destroyed; wrap with the newest one', named
            USING ERRCODE = 'check_violation';
    END IF;
END $$;

CREATE FUNCTION visitors_key_names_open_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM visitors_refuse_closed_generation(NEW.generation);
    RETURN NEW;
END $$;
CREATE TRIGGER key_names_open_generation
    BEFORE INSERT OR UPDATE OF wrapped, generation ON visitors_datakey
    FOR EACH ROW EXECUTE FUNCTION visitors_key_names_open_generation();
ALTER TABLE visitors_datakey ENABLE ALWAYS TRIGGER key_names_open_generation;

-- The generation stands in the header: four letters, then 32 bits, the highest first.
CREATE FUNCTION visitors_rotation_names_open_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF length(NEW.wrapped) >= 8 THEN
        PERFORM visitors_refuse_closed_generation(
            ('x' || encode(substring(NEW.wrapped FROM 5 FOR 4), 'hex'))::bit(32)::bigint);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rotation_names_open_generation
    BEFORE INSERT OR UPDATE OF wrapped ON visitors_rotation
    FOR EACH ROW EXECUTE FUNCTION visitors_rotation_names_open_generation();
ALTER TABLE visitors_rotation ENABLE ALWAYS TRIGGER rotation_names_open_generation;
"""

BACKWARD = """
DROP FUNCTION visitors_key_names_open_generation() CASCADE;
DROP FUNCTION visitors_rotation_names_open_generation() CASCADE;
DROP FUNCTION visitors_refuse_closed_generation(bigint);
"""


class Migration(migrations.Migration):
    dependencies = [("visitors", "0012_group")]
    operations = [
        migrations.CreateModel(
            name="KeyGeneration",
            fields=[
                ("number", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("held_by", models.CharField(max_length=10)),
                ("created_at", models.DateTimeField()),
                ("emptied_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("destroyed_at", models.DateTimeField(null=True)),
            ],
            options={"ordering": ("number",)},
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
