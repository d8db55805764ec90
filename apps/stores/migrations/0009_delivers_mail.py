"""Who delivers the e-mail by which visitors are told that their consent ends."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0008_check_in_words")]
    operations = [
        migrations.AddField(
            model_name="thirdparty",
            name="delivers_mail",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Needed before a visitor can be written to: it gets the address and the "
                "message, and nothing else.",
                verbose_name="delivers our e-mail",
            ),
        ),
    ]
