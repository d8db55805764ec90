"""Sex and age as people state them: only with a live consent to the statistics, gone with it."""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION visitors_stated_needs_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM consent_consent c
     WHERE c.subject = NEW.subject AND 'statistics' = ANY (c.purposes)
       AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
       FOR SHARE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sex and age need a live, signed consent to the statistics'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stated_needs_consent BEFORE INSERT OR UPDATE OF sex, age ON visitors_visitor
    FOR EACH ROW WHEN (NEW.sex <> '' OR NEW.age <> '')
    EXECUTE FUNCTION visitors_stated_needs_consent();
ALTER TABLE visitors_visitor ENABLE ALWAYS TRIGGER stated_needs_consent;

CREATE FUNCTION visitors_stated_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE visitors_visitor SET sex = '', age = ''
     WHERE subject = NEW.subject AND (sex <> '' OR age <> '');
    RETURN NULL;
END $$;
CREATE TRIGGER stated_ended AFTER INSERT OR UPDATE OF purposes ON consent_consent
    FOR EACH ROW WHEN (NOT 'statistics' = ANY (NEW.purposes))
    EXECUTE FUNCTION visitors_stated_ended();
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER stated_ended;
"""

BACKWARD = """
DROP FUNCTION visitors_stated_needs_consent() CASCADE;
DROP FUNCTION visitors_stated_ended() CASCADE;
"""

SEX = [("female", "Female"), ("male", "Male"), ("other", "Other")]
AGE = [
    ("18-29", "18 to 29"),
    ("30-44", "30 to 44"),
    ("45-59", "45 to 59"),
    ("60+", "60 or over"),
]


def stated(length: int, choices: list[tuple[str, str]]) -> models.CharField:
    return models.CharField(
        blank=True, choices=choices, db_default="", default="", max_length=length
    )


class Migration(migrations.Migration):
    dependencies = [("visitors", "0014_how_to_greet"), ("consent", "0011_promised")]
    operations = [
        migrations.AddField("visitor", "age", stated(5, AGE)),
        migrations.AddField("visitor", "sex", stated(6, SEX)),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
