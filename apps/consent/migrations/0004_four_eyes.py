"""A notice is written in sections, approved by a second person, and frozen with what it rests on.

What PostgreSQL refuses beside 0002: a row that is born published, and a publication that nobody but
its writers has approved.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

# What was written and not published before there were sections.
KEEP_DRAFTS = """
UPDATE consent_noticetext t SET lines = t.short, sections = jsonb_build_object('purpose', t.full)
  FROM consent_notice n WHERE n.id = t.notice_id AND n.published_at IS NULL;
"""

FORWARD = """
CREATE FUNCTION consent_notice_needs_four_eyes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.published_at IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.editors = '{}'
       OR NEW.approved_by = '' OR NEW.approved_by = ANY (NEW.editors)
       OR NEW.published_by = '' OR NEW.published_by = ANY (NEW.editors))
    THEN
        RAISE EXCEPTION 'a notice is published after somebody approved it who did not write in it'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notice_needs_four_eyes BEFORE INSERT OR UPDATE ON consent_notice
    FOR EACH ROW EXECUTE FUNCTION consent_notice_needs_four_eyes();
ALTER TABLE consent_notice ENABLE ALWAYS TRIGGER notice_needs_four_eyes;
"""

BACKWARD = "DROP FUNCTION consent_notice_needs_four_eyes() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0003_pass"),
        ("stores", "0007_languages_and_third_parties"),
    ]

    operations = [
        migrations.AddField(
            model_name="notice",
            name="approved_by",
            field=models.CharField(blank=True, editable=False, max_length=80),
        ),
        migrations.AddField(
            model_name="notice",
            name="approved_digest",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="notice",
            name="editors",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=80), default=list, editable=False, size=None
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="facts",
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.AddField(
            model_name="notice",
            name="former_end_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="notice",
            name="proposed_by",
            field=models.CharField(blank=True, editable=False, max_length=80),
        ),
        migrations.AddField(
            model_name="notice",
            name="published_by",
            field=models.CharField(blank=True, editable=False, max_length=80),
        ),
        migrations.AddField(
            model_name="notice",
            name="revision",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="noticetext",
            name="lines",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="noticetext",
            name="sections",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AlterField(
            model_name="noticetext",
            name="full",
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.AlterField(
            model_name="noticetext",
            name="short",
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.RunSQL(KEEP_DRAFTS, migrations.RunSQL.noop),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
