import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Exchange',
            fields=[
                ('code', models.CharField(max_length=8, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
            ],
            options={
                'ordering': ['code'],
            },
        ),
        migrations.CreateModel(
            name='MasterVersion',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('version', models.BigIntegerField(default=0)),
                ('rebuilt', models.BigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='master_version_is_one_row')],
            },
        ),
        migrations.CreateModel(
            name='Segment',
            fields=[
                ('code', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('equity', 'Equity'), ('derivatives', 'Equity derivatives'), ('currency', 'Currency derivatives'), ('commodity', 'Commodity derivatives'), ('index', 'Index')], max_length=12)),
                ('description', models.CharField(max_length=200)),
                ('price_divisor', models.PositiveIntegerField(help_text='What a whole-number price of a binary feed is divided by to give rupees.')),
                ('decimals', models.PositiveSmallIntegerField(help_text='Digits after the point of a price.')),
                ('precedence', models.PositiveSmallIntegerField(help_text='A name that several segments have means the one with the lowest number.', unique=True)),
                ('exchange', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='segments', to='instruments.exchange')),
            ],
            options={
                'ordering': ['precedence'],
            },
        ),
        migrations.CreateModel(
            name='Instrument',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('symbol', models.CharField(db_index=True, max_length=64)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('instrument_type', models.CharField(choices=[('EQ', 'Equity'), ('FUT', 'Future'), ('CE', 'Call option'), ('PE', 'Put option'), ('INDEX', 'Index')], max_length=5)),
                ('underlying', models.CharField(blank=True, help_text='What a derivative derives from, as its symbol begins: NIFTY, M&M.', max_length=64)),
                ('expiry', models.DateField(blank=True, null=True)),
                ('strike', models.DecimalField(blank=True, decimal_places=4, max_digits=14, null=True)),
                ('lot_size', models.PositiveIntegerField(blank=True, null=True)),
                ('tick_size', models.DecimalField(blank=True, decimal_places=4, help_text='In rupees.', max_digits=12, null=True)),
                ('exchange_token', models.PositiveBigIntegerField(blank=True, null=True)),
                ('instrument_token', models.PositiveBigIntegerField(blank=True, help_text="Kite's: exchange token * 256 + a number of the segment.", null=True)),
                ('isin', models.CharField(blank=True, max_length=12, verbose_name='ISIN')),
                ('active', models.BooleanField(default=True)),
                ('first_seen', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('last_seen', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('master_version', models.BigIntegerField(default=0, editable=False, help_text='The version of the master that last changed what this row says.')),
                ('segment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='instruments', to='instruments.segment')),
            ],
            options={
                'ordering': ['symbol', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Holiday',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('date', models.DateField()),
                ('name', models.CharField(max_length=100)),
                ('opens', models.TimeField(blank=True, help_text='IST; empty: closed all day.', null=True)),
                ('closes', models.TimeField(blank=True, help_text='IST; empty: closed all day.', null=True)),
                ('segment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='holidays', to='instruments.segment')),
            ],
            options={
                'ordering': ['-date', 'segment'],
            },
        ),
        migrations.CreateModel(
            name='SegmentAlias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('vendor', models.CharField(choices=[('kite', 'Kite'), ('upstox', 'Upstox'), ('angel', 'Angel One'), ('dhan', 'Dhan'), ('fyers', 'Fyers'), ('common', 'Common short codes')], max_length=8)),
                ('code', models.CharField(max_length=32)),
                ('product', models.CharField(blank=True, choices=[('', 'Everything in the segment'), ('F', 'Futures only'), ('O', 'Options only')], default='', max_length=1)),
                ('segment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='aliases', to='instruments.segment')),
            ],
            options={
                'verbose_name_plural': 'segment aliases',
                'ordering': ['vendor', 'code', 'segment__precedence'],
            },
        ),
        migrations.CreateModel(
            name='TradingSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('phase', models.CharField(choices=[('pre_open', 'Pre-open'), ('open', 'Open')], default='open', max_length=8)),
                ('opens', models.TimeField(help_text='IST.')),
                ('closes', models.TimeField(help_text='IST; the phase has ended at this moment.')),
                ('valid_from', models.DateField()),
                ('valid_to', models.DateField(blank=True, help_text='The last day, if one is known.', null=True)),
                ('segment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sessions', to='instruments.segment')),
            ],
            options={
                'ordering': ['segment', 'valid_from', 'opens'],
            },
        ),
        migrations.AddConstraint(
            model_name='segment',
            constraint=models.CheckConstraint(condition=models.Q(('code__in', ('NSE_EQ', 'BSE_EQ', 'NFO', 'BFO', 'CDS', 'BCD', 'MCX', 'NSE_INDEX', 'BSE_INDEX'))), name='segment_code_is_known', violation_error_message='The code must be one of NSE_EQ, BSE_EQ, NFO, BFO, CDS, BCD, MCX, NSE_INDEX, BSE_INDEX.'),
        ),
        migrations.AddConstraint(
            model_name='segment',
            constraint=models.CheckConstraint(condition=models.Q(('price_divisor__gt', 0)), name='segment_price_divisor_is_positive'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['segment', 'symbol', 'id'], name='instrument_segment_symbol'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['underlying', 'expiry', 'symbol', 'id'], name='instrument_underlying_expiry'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['instrument_type', 'symbol', 'id'], name='instrument_type_symbol'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['expiry', 'symbol', 'id'], name='instrument_expiry_symbol'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['exchange_token', 'segment', 'symbol'], name='instrument_exchange_token'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['instrument_token'], name='instrument_token'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['isin'], name='instrument_isin'),
        ),
        migrations.AddIndex(
            model_name='instrument',
            index=models.Index(fields=['master_version', 'id'], name='instrument_master_version'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.UniqueConstraint(condition=models.Q(('active', True)), fields=('segment', 'symbol'), name='instrument_segment_symbol_is_unique', violation_error_message='The segment has an active instrument of this symbol.'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(('symbol', ''), _negated=True), name='instrument_symbol_is_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('instrument_type', 'EQ'), ('segment__in', ('NSE_EQ', 'BSE_EQ'))), models.Q(('instrument_type', 'INDEX'), ('segment__in', ('NSE_INDEX', 'BSE_INDEX'))), models.Q(('instrument_type__in', ['FUT', 'CE', 'PE']), ('segment__in', ('NFO', 'BFO', 'CDS', 'BCD', 'MCX'))), _connector='OR'), name='instrument_type_fits_segment', violation_error_message='The segment has no instruments of this type.'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('expiry__isnull', False), ('instrument_type__in', ['FUT', 'CE', 'PE'])), models.Q(('expiry__isnull', True), ('instrument_type__in', ['EQ', 'INDEX'])), _connector='OR'), name='instrument_expiry_is_of_derivatives', violation_error_message='Futures and options need an expiry, nothing else has one.'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('instrument_type__in', ['CE', 'PE']), ('strike__gt', 0), ('strike__isnull', False)), models.Q(('instrument_type__in', ['EQ', 'FUT', 'INDEX']), ('strike__isnull', True)), _connector='OR'), name='instrument_strike_is_of_options', violation_error_message='Options need a positive strike, nothing else has one.'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('instrument_type', 'INDEX'), _negated=True), models.Q(('lot_size__isnull', True), ('tick_size__isnull', True)), _connector='OR'), name='instrument_index_is_not_tradable', violation_error_message='An index does not trade: no tick size and no lot size.'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(('tick_size__isnull', True), ('tick_size__gt', 0), _connector='OR'), name='instrument_tick_size_is_positive'),
        ),
        migrations.AddConstraint(
            model_name='instrument',
            constraint=models.CheckConstraint(condition=models.Q(('lot_size__isnull', True), ('lot_size__gt', 0), _connector='OR'), name='instrument_lot_size_is_positive'),
        ),
        migrations.AddConstraint(
            model_name='holiday',
            constraint=models.UniqueConstraint(fields=('segment', 'date'), name='holiday_segment_date_is_unique'),
        ),
        migrations.AddConstraint(
            model_name='holiday',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closes__isnull', True), ('opens__isnull', True)), models.Q(('closes__gt', models.F('opens')), ('closes__isnull', False), ('opens__isnull', False)), _connector='OR'), name='holiday_has_both_hours_or_none', violation_error_message='Give both hours, closing after opening, or neither.'),
        ),
        migrations.AddConstraint(
            model_name='segmentalias',
            constraint=models.UniqueConstraint(fields=('vendor', 'code', 'segment'), name='alias_vendor_code_segment_is_unique'),
        ),
        migrations.AddConstraint(
            model_name='segmentalias',
            constraint=models.CheckConstraint(condition=models.Q(('code', ''), _negated=True), name='alias_code_is_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='tradingsession',
            constraint=models.UniqueConstraint(fields=('segment', 'phase', 'valid_from'), name='session_segment_phase_day_is_unique'),
        ),
        migrations.AddConstraint(
            model_name='tradingsession',
            constraint=models.CheckConstraint(condition=models.Q(('closes__gt', models.F('opens'))), name='session_closes_after_it_opens'),
        ),
        migrations.AddConstraint(
            model_name='tradingsession',
            constraint=models.CheckConstraint(condition=models.Q(('valid_to__isnull', True), ('valid_to__gte', models.F('valid_from')), _connector='OR'), name='session_ends_after_it_begins'),
        ),
    ]
