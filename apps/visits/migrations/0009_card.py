"""A visit by a card: no camera, no score, no template; and how many of them there were a day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("visitors", "0016_card"),
        ("visits", "0008_insights"),
    ]

    operations = [
        migrations.AddField(
            model_name="disclosure",
            name="by_card",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="disclosure",
            name="count",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="visit",
            name="score",
            field=models.FloatField(null=True),
        ),
        migrations.AlterField(
            model_name="visit",
            name="threshold",
            field=models.FloatField(null=True),
        ),
        migrations.AddConstraint(
            model_name="visit",
            constraint=models.CheckConstraint(
                condition=models.Q(("score__isnull", False), ("threshold__isnull", False))
                | models.Q(
                    ("camera", None),
                    ("false_greeting", None),
                    ("score", None),
                    ("template", None),
                    ("threshold", None),
                ),
                name="a_face_has_a_score_and_a_card_has_none",
            ),
        ),
    ]
