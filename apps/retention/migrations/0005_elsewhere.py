"""A certificate for what rested on one purpose and was no template of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retention", "0004_purpose")]
    operations = [
        migrations.RemoveConstraint(model_name="erasure", name="a_person_is_erased_once"),
        migrations.AddField(
            model_name="erasure",
            name="purpose",
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.UniqueConstraint(
                condition=models.Q(("purpose", ""), ("template", None)),
                fields=("subject",),
                name="a_person_is_erased_once",
            ),
        ),
    ]
