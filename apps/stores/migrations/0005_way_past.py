"""An assessment names the way past its lane, and allows one to four faces whoever writes it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0004_counted")]
    operations = [
        migrations.AddField(
            "assessment",
            "way_past",
            models.CharField(
                "other way in",
                blank=True,
                default="",
                help_text="Where people walk who do not want to be seen. Needed when the lane "
                "reaches from side to side of the picture.",
                max_length=240,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            "assessment",
            models.CheckConstraint(
                condition=models.Q(max_faces__range=(1, 4)), name="assessment_allows_few_faces"
            ),
        ),
    ]
