"""Old entries may go: behind a signed statement, past the proof period, and in no other way.

The frontier stays: the hashes over what went, from which the tree goes on.
"""

from django.db import migrations, models

# Three years, as apps/audit/pruning.py says.
FORWARD = """
CREATE FUNCTION audit_entry_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT max(size) FROM audit_pruning) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION audit_node_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pruned bigint := (SELECT max(size) FROM audit_pruning);
BEGIN
    IF TG_OP = 'DELETE' AND (OLD.index + 1) << OLD.level <= pruned
        AND NOT ((pruned >> OLD.level) & 1 = 1 AND OLD.index = (pruned >> OLD.level) - 1) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION audit_pruning_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size % 2 = 0
        AND NEW.size > coalesce((SELECT max(size) FROM audit_pruning), 0)
        AND NEW.size <= (SELECT max(size) FROM audit_checkpoint)
        AND (SELECT at FROM audit_entry WHERE seq = NEW.size)
            < clock_timestamp() - interval '1095 days'
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the ledger is pruned behind a signed head and past the proof period only'
        USING ERRCODE = 'insufficient_privilege';
END $$;

DROP TRIGGER audit_entry_append_only ON audit_entry;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_guard();
ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_append_only;
DROP TRIGGER audit_node_append_only ON audit_node;
CREATE TRIGGER audit_node_append_only BEFORE UPDATE OR DELETE ON audit_node
    FOR EACH ROW EXECUTE FUNCTION audit_node_guard();
ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_append_only;

CREATE TRIGGER audit_pruning_lawful BEFORE INSERT ON audit_pruning
    FOR EACH ROW EXECUTE FUNCTION audit_pruning_guard();
CREATE TRIGGER audit_pruning_append_only BEFORE UPDATE OR DELETE ON audit_pruning
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_pruning_no_truncate BEFORE TRUNCATE ON audit_pruning
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_pruning ENABLE ALWAYS TRIGGER audit_pruning_lawful;
ALTER TABLE audit_pruning ENABLE ALWAYS TRIGGER audit_pruning_append_only;
ALTER TABLE audit_pruning ENABLE ALWAYS TRIGGER audit_pruning_no_truncate;
"""

BACKWARD = """
DROP TRIGGER audit_pruning_lawful ON audit_pruning;
DROP TRIGGER audit_pruning_append_only ON audit_pruning;
DROP TRIGGER audit_pruning_no_truncate ON audit_pruning;
DROP TRIGGER audit_entry_append_only ON audit_entry;
DROP TRIGGER audit_node_append_only ON audit_node;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_append_only;
CREATE TRIGGER audit_node_append_only BEFORE UPDATE OR DELETE ON audit_node
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_append_only;
DROP FUNCTION audit_entry_guard();
DROP FUNCTION audit_node_guard();
DROP FUNCTION audit_pruning_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_ledger_check")]
    operations = [
        migrations.CreateModel(
            name="Pruning",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("root", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
                ("signature", models.TextField()),
            ],
            options={"ordering": ("-size",)},
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
