"""How to get the same benefits without a face, in each language of the kiosk."""

from django.db import migrations, models

import apps.stores.models


class Migration(migrations.Migration):
    dependencies = [("stores", "0007_languages_and_third_parties")]

    operations = [
        migrations.AddField(
            model_name="store",
            name="check_in_words",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text=(
                    "The same in each language of the kiosk. Where one is missing, the words above "
                    "stand."
                ),
                validators=[apps.stores.models.known_languages],
                verbose_name="the same in each language",
            ),
        )
    ]
