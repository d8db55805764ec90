"""Statistics and notes can be agreed to, and the one message before the end is written down.

PostgreSQL lets a consent be reminded of once, while it holds, and only when that was agreed to.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

PURPOSES = [
    ("lane", "Recognise me when I come back"),
    ("pass", "Recognise me when I show my pass"),
    ("history", "Remember my visits"),
    ("statistics", "Count my visits in the store’s statistics"),
    ("notes", "Staff may keep a note about me"),
    ("contact", "Tell me before it ends"),
]

ONCE = """
CREATE FUNCTION consent_reminded_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.reminded_at IS NOT NULL OR NOT 'contact' = ANY (NEW.purposes)
       OR NEW.withdrawn_at IS NOT NULL OR NEW.expires_at <= clock_timestamp()
    THEN
        RAISE EXCEPTION 'a consent is reminded of once, while it holds, and only if agreed to'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER consent_reminded_once BEFORE UPDATE OF reminded_at ON consent_consent
    FOR EACH ROW WHEN (NEW.reminded_at IS DISTINCT FROM OLD.reminded_at)
    EXECUTE FUNCTION consent_reminded_once();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER consent_reminded_once;
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0006_witness")]
    operations = [
        migrations.AddField(
            model_name="consent",
            name="reminded_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
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
        migrations.RunSQL(ONCE, "DROP FUNCTION consent_reminded_once() CASCADE"),
    ]
