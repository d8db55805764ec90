"""The number that orders what a board shows; one sequence for all stores."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("visits", "0001_initial")]
    operations = [
        migrations.RunSQL("CREATE SEQUENCE visits_sequence", "DROP SEQUENCE visits_sequence")
    ]
