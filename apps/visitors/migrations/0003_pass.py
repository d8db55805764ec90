"""One pass a person, and none whose template the server could open by itself."""

from django.db import migrations, models

# `CPT1` opens what the vault sealed a second time, under the share in the customer's pass.
FORWARD = r"""
ALTER TABLE visitors_facetemplate ADD CONSTRAINT pass_is_sealed_twice
    CHECK ((purpose = 'pass') = (substring(sealed from 1 for 4) = '\x43505431'::bytea));
"""
BACKWARD = "ALTER TABLE visitors_facetemplate DROP CONSTRAINT pass_is_sealed_twice"


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0003_pass"),
        ("stores", "0003_pass"),
        ("visitors", "0002_guard"),
    ]
    operations = [
        migrations.AddConstraint(
            model_name="facetemplate",
            constraint=models.UniqueConstraint(
                condition=models.Q(("purpose", "pass")),
                fields=("visitor",),
                name="one_pass_a_visitor",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
