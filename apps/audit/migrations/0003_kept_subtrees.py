"""The hash of every complete subtree, so that a root or a proof does not read all leaves."""

from django.db import migrations, models

from apps.audit import merkle

BATCH = 5000
GUARD = """
CREATE TRIGGER audit_node_append_only BEFORE UPDATE OR DELETE ON audit_node
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_node_no_truncate BEFORE TRUNCATE ON audit_node
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_append_only;
ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_no_truncate;
"""
UNGUARD = """
DROP TRIGGER audit_node_append_only ON audit_node;
DROP TRIGGER audit_node_no_truncate ON audit_node;
"""


def fill(apps, schema_editor):
    """Walk the leaves that are there, once."""
    entries, nodes = apps.get_model("audit", "Entry"), apps.get_model("audit", "Node")
    tree, kept = merkle.Frontier(), []
    leaves = entries.objects.order_by("seq").values_list("leaf", flat=True)
    for leaf in leaves.iterator(chunk_size=BATCH):
        done = tree.append(bytes(leaf))
        for (level, index), node in zip(merkle.completed(tree.size), done, strict=True):
            kept.append(nodes(level=level, index=index, hash=node))
        if len(kept) >= BATCH:
            nodes.objects.bulk_create(kept)
            kept = []
    nodes.objects.bulk_create(kept)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]
    operations = [
        migrations.CreateModel(
            name="Node",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level",
                        "index",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("level", models.SmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
