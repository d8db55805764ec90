"""Legal holds, and the refusal of PostgreSQL to delete what is held."""

import datetime
import uuid

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION retention_is_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM retention_hold h
      WHERE h.subject = OLD.subject AND h.ends_at > clock_timestamp()
        AND (TG_ARGV[0] = 'any' OR h.ground = TG_ARGV[0]);
    IF FOUND THEN
        RAISE EXCEPTION 'what is under a legal hold is not deleted before its end'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER visitor_is_held BEFORE DELETE ON visitors_visitor
    FOR EACH ROW EXECUTE FUNCTION retention_is_held('claim');
ALTER TABLE visitors_visitor ENABLE ALWAYS TRIGGER visitor_is_held;
CREATE TRIGGER proof_is_held BEFORE DELETE ON consent_consent
    FOR EACH ROW EXECUTE FUNCTION retention_is_held('any');
ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER proof_is_held;
"""
BACKWARD = "DROP FUNCTION retention_is_held() CASCADE"


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0007_request_guard"),
        ("stores", "0014_policies"),
        ("visitors", "0012_group"),
        ("consent", "0011_promised"),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("subject", models.UUIDField(db_index=True)),
                (
                    "ground",
                    models.CharField(
                        choices=[
                            ("proof", "The proof of consent is needed for longer"),
                            ("claim", "A legal claim: everything that is left of the person"),
                        ],
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=200)),
                ("author", models.CharField(max_length=80)),
                ("begun_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "store",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="holds",
                        to="stores.store",
                    ),
                ),
            ],
            options={
                "verbose_name": "legal hold",
                "verbose_name_plural": "legal holds",
                "ordering": ("ends_at",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ends_at__gt", models.F("begun_at")),
                            (
                                "ends_at__lte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("begun_at"),
                                    "+",
                                    models.Value(datetime.timedelta(days=365)),
                                ),
                            ),
                        ),
                        name="a_hold_ends_within_a_year",
                    )
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
