"""What a notice promises on how long things are kept, as figures, and the rule that they bind.

Notices that were published before have none: their figures were the pack's, which still cap.
"""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION promised_days(here uuid, signed uuid, what varchar) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT (n.promised -> here::text ->> what)::integer
      FROM consent_noticetext x JOIN consent_notice n ON n.id = x.notice_id WHERE x.id = signed
$$;

-- Both parts may be missing; LEAST leaves out what is null.
CREATE FUNCTION kept_days(here uuid, signed uuid, what varchar) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT p.days FROM stores_policy p WHERE p.store_id = here AND p.kind = what),
        promised_days(here, signed, what))
$$;
"""
BACKWARD = """
DROP FUNCTION kept_days(uuid, uuid, varchar);
DROP FUNCTION promised_days(uuid, uuid, varchar);
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0010_group"), ("stores", "0014_policies")]
    operations = [
        migrations.AddField(
            model_name="notice",
            name="promised",
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
